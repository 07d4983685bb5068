/** [due, delayed, running, dead, since when the oldest could run, [workspace, queued]…]. */
export const DEPTH = `
local now = text(A.now)
local oldest = redis.call('ZRANGE', k('due'), 0, 0, 'WITHSCORES')[2]
return {redis.call('ZCOUNT', k('due'), '-inf', now), redis.call('ZCOUNT', k('due'), '(' .. now, '+inf'),
  redis.call('ZCARD', k('running')), redis.call('SCARD', k('dead')), oldest or false, redis.call('HGETALL', k('queued'))}
`;

/** Jobs that have not ended. */
export const OPEN = `
local found = redis.call('ZRANGE', k('due'), 0, -1)
for _, id in ipairs(redis.call('ZRANGE', k('running'), 0, -1)) do table.insert(found, id) end
return found
`;

/** Jobs whose lease ran out, and queued ones past their deadline: as they are stored. */
export const OVERDUE = `
local found = {}
for at, name in ipairs({'running', 'deadlines'}) do
  found[at] = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k(name), '-inf', text(A.now), 'LIMIT', 0, 100)) do
    table.insert(found[at], redis.call('HGETALL', k('job', id)))
  end
end
return found
`;
