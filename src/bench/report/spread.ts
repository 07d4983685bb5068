import { z } from 'zod';

/** Of the timed rounds. */
export const Spread = z.object({ median: z.number(), min: z.number(), max: z.number() });
