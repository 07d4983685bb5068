import { registerHooks } from 'node:module';

// The parser imports JSON without saying so, as bundlers allow and Node does not.
registerHooks({
  resolve(specifier, context, next) {
    const isJson = specifier.endsWith('.json') && context.parentURL?.includes('/@actions/') === true;
    const found = next(specifier, context);
    return isJson ? { ...found, importAttributes: { type: 'json' } } : found;
  },
});
const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } = await import('@actions/workflow-parser');

/** What GitHub's own parser says against a workflow file: unknown keys, wrong types, expressions that name nothing. */
export async function workflowProblems(name: string, content: string): Promise<readonly string[]> {
  const { context, value } = parseWorkflow({ name, content }, new NoOperationTraceWriter());
  if (value !== undefined) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map(String);
}
