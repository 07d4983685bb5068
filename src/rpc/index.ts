export { statusText } from './status-text.ts';
export { callUnary, type UnaryMethod } from './unary.ts';
