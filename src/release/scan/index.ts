export { type Advisory, advisoryFindings, cvss3BaseScore, parseAdvisories } from './advisories.ts';
export { attachSbom } from './attach.ts';
export { dockerfileFindings } from './dockerfile.ts';
export { type Finding, isAtLeast, SEVERITIES, type Severity, sortFindings } from './finding.ts';
export { compareDebian, compareVersionsOf } from './packages/compare.ts';
export type { Package } from './packages/package.ts';
export { findProgram, type ProgramChoice, type ScanProgram } from './programs/find-program.ts';
export { sarifDocument } from './sarif.ts';
export { SPDX_MEDIA_TYPE, spdxDocument } from './sbom.ts';
export {
  type ImageScan,
  type ImageScanner,
  imageScanner,
  type ScanDepth,
  type ScanPrograms,
  scanPackages,
} from './scan-image.ts';
export { type MatrixScan, type MatrixScanContext, representatives, requireBelow, scanMatrix } from './scan-matrix.ts';
export type { ImageTree, ScannedImage } from './scanned-image.ts';
