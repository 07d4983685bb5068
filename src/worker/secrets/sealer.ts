import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { WorkerError } from '../../errors/index.ts';

const KEY_BYTES = 32;
/** NIST SP 800-38D: the nonce GCM is made for, and the whole tag. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Of the sealed form: version, nonce, tag, ciphertext. */
const VERSION = 1;

/** Whose secret it is: part of what is sealed, so that a sealed value is of no use anywhere else. */
export interface SecretOwner {
  readonly workspaceId: string;
  readonly id: string;
}

/** Keeps secrets unreadable where builds wait: AES-256-GCM under a key that the workers of a fleet share. */
export class Sealer {
  readonly #key: Buffer;

  /** `key`: 32 random bytes. Throws CONFIG_INVALID. */
  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES)
      throw new WorkerError(
        'CONFIG_INVALID',
        `the key that seals secrets has ${key.length} bytes instead of ${KEY_BYTES}`,
      );
    this.#key = Buffer.from(key);
  }

  /** Base64; two seals of one value differ. */
  seal(owner: SecretOwner, value: Uint8Array): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(owner), nonce);
    const sealed = Buffer.concat([cipher.update(value), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed]).toString('base64');
  }

  /** Throws SECRET_NOT_FOUND when it was sealed with another key, for somebody else, or changed. */
  open(owner: SecretOwner, text: string): Buffer {
    const bytes = Buffer.from(text, 'base64');
    const [at, tagAt] = [1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES];
    try {
      if (bytes[0] !== VERSION || bytes.length < tagAt) throw new RangeError('another form');
      const decipher = createDecipheriv('aes-256-gcm', this.#keyOf(owner), bytes.subarray(1, at));
      decipher.setAuthTag(bytes.subarray(at, tagAt));
      return Buffer.concat([decipher.update(bytes.subarray(tagAt)), decipher.final()]);
    } catch (cause) {
      throw new WorkerError(
        'SECRET_NOT_FOUND',
        `secret ${owner.id} cannot be opened: it was sealed with another key, or damaged; submit the build again`,
        { id: owner.id },
        { cause },
      );
    }
  }

  /** The same for the same value of an owner, and nothing to who lacks the key: stands for a version that was not given. */
  fingerprint(owner: SecretOwner, value: Uint8Array): string {
    return createHmac('sha256', this.#keyOf(owner)).update(value).digest('hex').slice(0, 32);
  }

  /** A key for each owner: random nonces of 96 bits are only safe for so many values under one key. */
  #keyOf({ id, workspaceId }: SecretOwner): Buffer {
    const info = createHash('sha256')
      .update(JSON.stringify(['clipyard secret', workspaceId, id]))
      .digest();
    return Buffer.from(hkdfSync('sha256', this.#key, Buffer.alloc(0), info, KEY_BYTES));
  }
}
