export {
  calculateMatrix,
  isPermanent,
  type MatrixEvent,
  type MatrixTags,
  type TagAssignment,
  type TagRole,
  variantTag,
} from './calculate.ts';
export { type MatrixConfig, parseMatrixConfig, variantImageId } from './config.ts';
export { matrixOutputs } from './outputs.ts';
export { type MatrixPlan, type PlannedTag, planMatrix, type VariantWork } from './plan.ts';
export {
  type MatrixContext,
  type MatrixEventReport,
  type MatrixResult,
  previewMatrix,
  runMatrix,
  type TagToSet,
  type VariantBuild,
  type VariantImageBuilt,
} from './run.ts';
export { compareVariants, oldestVariant } from './variants.ts';
export { expectationsOf, requireVerified, type VerifiedTag, verifyTags } from './verify.ts';
