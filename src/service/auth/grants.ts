import { z } from 'zod';
import { parseWorkspaceId } from '../../archive/index.ts';
import { messageOf, WorkerError } from '../../errors/index.ts';

const common = {
  workspace: z.string().superRefine((text, context) => {
    try {
      parseWorkspaceId(text);
    } catch (thrown) {
      context.addIssue({ code: 'custom', message: messageOf(thrown) });
    }
  }),
  operator: z.boolean().default(false),
  name: z.string().min(1).max(256),
  expiresAt: z.iso.datetime({ offset: true }).optional(),
};

const grants = z.array(
  z.union([
    z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/), ...common }),
    z.strictObject({ certificate: z.string().regex(/^(?:CN|DNS|URI|email):./), ...common }),
  ]),
);

/** A line of the tokens file: whoever shows this token, or a client certificate of this name, is of this workspace. */
export interface Grant {
  /** Of the token. */
  readonly sha256: Buffer | undefined;
  /** `CN:name`, `DNS:name`, `URI:…` or `email:…` of a client certificate. */
  readonly certificate: string | undefined;
  readonly workspaceId: string;
  readonly operator: boolean;
  readonly name: string;
  readonly expiresAtMs: number | undefined;
}

/** Reads a tokens file: a JSON list. Throws CONFIG_INVALID, with the place and without a value. */
export function parseGrants(text: string): readonly Grant[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new WorkerError('CONFIG_INVALID', 'the tokens file is no JSON');
  }
  const parsed = grants.safeParse(json);
  if (!parsed.success) {
    const place = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new WorkerError(
      'CONFIG_INVALID',
      `the tokens file is no list of {sha256 or certificate, workspace, name, operator?, expiresAt?}${place === '' ? '' : `; see ${place}`}`,
      { place },
    );
  }
  return parsed.data.map((grant) => ({
    sha256: 'sha256' in grant ? Buffer.from(grant.sha256, 'hex') : undefined,
    certificate: 'certificate' in grant ? grant.certificate : undefined,
    workspaceId: grant.workspace,
    operator: grant.operator,
    name: grant.name,
    expiresAtMs: grant.expiresAt === undefined ? undefined : Date.parse(grant.expiresAt),
  }));
}
