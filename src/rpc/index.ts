export { callUnary, type UnaryMethod } from './unary.ts';
