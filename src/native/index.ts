export { isAlive } from './is-alive.ts';
export { type RunToolOptions, runTool } from './run-tool.ts';
export { ToolEvent } from './tool-event.ts';
export { findNativeTool, type NativeTool, type NativeToolPaths, nativeToolPaths } from './tools.ts';
