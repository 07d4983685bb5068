/**
 * What all scripts share. KEYS[1] is the prefix of every key, with the hash tag that keeps them in one slot; ARGV[1] the
 * arguments as JSON. What callers store is passed and kept as text: cjson would change empty arrays and long numbers.
 *
 * A script runs alone and whole, so each is one step from one consistent state to the next. docs/queue.md lists the keys.
 */
export const PRELUDE = `
local A = cjson.decode(ARGV[1])
local function k(name, id) return KEYS[1] .. name .. (id and (':' .. id) or '') end
local function text(number) return string.format('%.0f', number) end
local function get(id, field) return redis.call('HGET', k('job', id), field) end
local function set(id, ...) redis.call('HSET', k('job', id), ...) end

-- Events are kept as "<attempt> <JSON>"; a cursor is the place in the list, from 1.
local function append(id, events, state)
  local attempt = get(id, 'attempt')
  for _, event in ipairs(events) do redis.call('RPUSH', k('events', id), attempt .. ' ' .. event) end
  if state then set(id, 'state', state) end
  redis.call('PUBLISH', k('told'), id)
end

local function moved(id) redis.call('PUBLISH', k('moved'), id) end

-- Into the line of its workspace: higher priority first, then the older.
local function line_up(id)
  local ws = get(id, 'workspaceId')
  local score = (9 - tonumber(get(id, 'priority'))) * 1e13 + tonumber(get(id, 'seq'))
  redis.call('ZADD', k('line', ws), text(score), id)
  redis.call('SADD', k('waiting'), ws)
end

local function promote()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', k('delayed'), '-inf', text(A.now))) do
    redis.call('ZREM', k('delayed'), id)
    line_up(id)
  end
end

local function enqueue(id, available)
  set(id, 'status', 'queued', 'availableAt', text(available))
  redis.call('HINCRBY', k('queued'), get(id, 'workspaceId'), 1)
  redis.call('ZADD', k('due'), text(available), id)
  local deadline = get(id, 'deadlineMs')
  if deadline then redis.call('ZADD', k('deadlines'), deadline, id) end
  if available <= A.now then line_up(id) else redis.call('ZADD', k('delayed'), text(available), id) end
end

-- Out of the queue, or out of the hands of its worker.
local function leave(id)
  local ws, status = get(id, 'workspaceId'), get(id, 'status')
  if status == 'queued' then
    for _, name in ipairs({'due', 'delayed', 'deadlines'}) do redis.call('ZREM', k(name), id) end
    redis.call('HINCRBY', k('queued'), ws, -1)
    redis.call('ZREM', k('line', ws), id)
    if redis.call('ZCARD', k('line', ws)) == 0 then redis.call('SREM', k('waiting'), ws) end
  elseif status == 'running' then
    redis.call('ZREM', k('running'), id)
    redis.call('HINCRBY', k('busy'), ws, -1)
    redis.call('HDEL', k('job', id), 'token')
  end
end

local function unshare(id)
  local ws, key = get(id, 'workspaceId'), get(id, 'key')
  if redis.call('HGET', k('inflight', ws), key) == id then redis.call('HDEL', k('inflight', ws), key) end
end

-- how: state, event, and result or failure as JSON; dead: whether it is a dead letter.
local function finish(id, how)
  append(id, {how.event}, how.state)
  leave(id)
  unshare(id)
  set(id, 'status', 'ended', 'endedAt', text(A.now))
  if how.result then set(id, 'result', how.result) end
  if how.failure then set(id, 'failure', how.failure) end
  if how.dead then redis.call('SADD', k('dead'), id) end
  for _, build in ipairs(redis.call('SMEMBERS', k('builds of', id))) do
    if not redis.call('HGET', k('build', build), 'canceledAt') then redis.call('ZADD', k('ended'), text(A.now), build) end
  end
end

local function view(build)
  local id = redis.call('HGET', k('build', build), 'jobId')
  if not id then return false end
  return {redis.call('HGETALL', k('build', build)), redis.call('HGETALL', k('job', id))}
end
`;
