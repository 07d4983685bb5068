import type { Console } from '../console/console.ts';
import { TAG_NOTES, texts } from '../console/texts.ts';
import { createdText, type ListedTag } from './list-images.ts';

export interface ServiceListing {
  readonly service: string;
  readonly tags: readonly ListedTag[];
}

/** The listing of one service. */
export function sayListing(console: Console, { service, tags }: ServiceListing): void {
  console.say(texts.imagesOf(service));
  if (tags.length === 0) console.say(texts.noTags());
  for (const { createdMs, tag } of tags) console.say(texts.listedTag(tag, createdText(createdMs)));
}

/** What stands below a listing. */
export function sayNotes(console: Console): void {
  console.say(texts.notesTitle());
  for (const note of TAG_NOTES) console.say(`  • ${note}`);
}
