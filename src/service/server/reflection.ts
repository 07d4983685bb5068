import { once } from 'node:events';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionServer,
} from '../../gen/grpc/reflection/v1/reflection.ts';
import type { ServerReflectionServer as ServerReflectionServerV1alpha } from '../../gen/grpc/reflection/v1alpha/reflection.ts';
import { type CallContext, runCall } from './call.ts';
import { type DescriptorIndex, ownDescriptors } from './descriptors.ts';

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;

/**
 * gRPC server reflection (grpc/reflection/v1/reflection.proto), for v1 and v1alpha alike: their messages are the same. Answers
 * hold a file with all its imports. There are no extensions in our files.
 */
export function reflectionService(context: CallContext): ServerReflectionServer & ServerReflectionServerV1alpha {
  let descriptors: DescriptorIndex | undefined;
  return {
    serverReflectionInfo: (call: ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>) => {
      void runCall(call, context, async ({ signal }) => {
        descriptors ??= ownDescriptors();
        for await (const request of call as AsyncIterable<ServerReflectionRequest>) {
          const messageResponse = answerOf(request, descriptors);
          const response = { validHost: request.host, originalRequest: request, messageResponse };
          if (!call.write(response)) await once(call, 'drain', { signal });
        }
      }).then((outcome) => {
        if ('status' in outcome) call.emit('error', outcome.status);
        else call.end();
      });
    },
  };
}

export function answerOf({ messageRequest: asked }: ServerReflectionRequest, descriptors: DescriptorIndex): Answer {
  switch (asked?.$case) {
    case 'listServices':
      return {
        $case: 'listServicesResponse',
        value: { service: descriptors.services.map((name) => ({ name })) },
      };
    case 'fileByFilename':
      return filesOrError(descriptors.byName(asked.value), `file ${asked.value}`);
    case 'fileContainingSymbol':
      return filesOrError(descriptors.bySymbol(asked.value), `symbol ${asked.value}`);
    case 'allExtensionNumbersOfType':
      if (descriptors.bySymbol(asked.value) === undefined) return notFound(`type ${asked.value}`);
      return {
        $case: 'allExtensionNumbersResponse',
        value: { baseTypeName: asked.value, extensionNumber: [] },
      };
    case 'fileContainingExtension':
      return notFound(`extension ${asked.value.extensionNumber} of ${asked.value.containingType}`);
    case undefined:
      return {
        $case: 'errorResponse',
        value: { errorCode: status.INVALID_ARGUMENT, errorMessage: 'the request asks for nothing' },
      };
  }
}

function filesOrError(files: readonly Buffer[] | undefined, what: string): Answer {
  if (files === undefined) return notFound(what);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: [...files] } };
}

function notFound(what: string): Answer {
  return { $case: 'errorResponse', value: { errorCode: status.NOT_FOUND, errorMessage: `there is no ${what}` } };
}
