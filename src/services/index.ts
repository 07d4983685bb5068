export { DEFAULT_ORG, DEFAULT_REGISTRY, DEFAULT_REPO } from './file/design-services.ts';
export { type FoundService, writeServicesFile } from './file/init.ts';
export { readServicesFile, type ServicesFileRequest } from './file/read-services-file.ts';
export { chooseServices, type Names, type Service, type Team, teamOf } from './file/service.ts';
export { parseServicesFile, SERVICES_FILE_NAME, type ServiceEntry, type ServicesFile } from './file/services-file.ts';
