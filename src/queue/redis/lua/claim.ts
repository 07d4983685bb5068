/** What the holder of a lease does. Each answers 'held', 'canceled' (held, but unwanted) or 'lost'. */

const HOLDING = `
local function claim()
  if get(A.id, 'token') ~= A.token then return 'lost' end
  return get(A.id, 'canceled') and 'canceled' or 'held'
end
`;

export const LOOK = `${HOLDING}
if A.renew and claim() ~= 'lost' then redis.call('ZADD', k('running'), text(A.now + A.leaseMs), A.id) end
return claim()
`;

/** Appends events or a journal entry. A call that comes twice, after a broken connection, is done once. */
export const TELL = `${HOLDING}
local held = claim()
if held == 'lost' or A.call <= tonumber(get(A.id, 'calls')) then return held end
set(A.id, 'calls', A.call)
if A.entry then redis.call('RPUSH', k('journal', A.id), A.entry) else append(A.id, A.events, A.state) end
return held
`;

/** Ends a lease: by an end, or back into the queue. A job that nobody wants goes back to nobody. */
export const RELEASE = `${HOLDING}
if claim() == 'lost' then return get(A.id, 'lastToken') == A.token and 'held' or 'lost' end
if A.expired and tonumber(redis.call('ZSCORE', k('running'), A.id)) > A.now then return 'held' end
-- So that the holder's call may come twice; a lease that ran out is lost whatever it says.
if not A.expired then set(A.id, 'lastToken', A.token) end
if A.back and claim() ~= 'canceled' then
  append(A.id, {A.back.event}, 'queued')
  local available = A.back.availableAt or tonumber(get(A.id, 'availableAt'))
  leave(A.id)
  redis.call('HDEL', k('job', A.id), 'workerId')
  if not A.back.counts then redis.call('HINCRBY', k('job', A.id), 'attempt', -1) end
  enqueue(A.id, available)
elseif A.back or (A.expired and claim() == 'canceled') then
  finish(A.id, A.canceled)
else
  finish(A.id, A.finish)
end
moved(A.id)
return 'released'
`;
