export { plainProgress as ttyProgress } from './plain.ts';
