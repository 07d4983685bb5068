/** Gives a worker the next job that it can and should run: [job, journal], or nothing. Safe to send twice. See fairness.ts, warmth.ts. */
export const TAKE = `
local function answer(id) return {redis.call('HGETALL', k('job', id)), redis.call('LRANGE', k('journal', id), 0, -1)} end
local before = redis.call('GET', k('claim', A.token))
if before then return answer(before) end
promote()

local function has(all, wanted)
  local set = {}
  for _, it in ipairs(all) do set[it] = true end
  for _, it in ipairs(wanted) do if not set[it] then return false end end
  return true
end

local function left_to_another(platforms, layers, available)
  if #layers == 0 or has(A.worker.baseLayers, layers) or A.now - available >= A.warmWaitMs then return false end
  for _, stored in ipairs(redis.call('HVALS', k('workers'))) do
    local it = cjson.decode(stored)
    if it.workerId ~= A.worker.workerId and it.freeSlots > 0 and not it.draining and not it.reason
      and A.now - it.seenAtMs < A.silentMs and has(it.platforms, platforms) and has(it.baseLayers, layers) then
      return true
    end
  end
  return false
end

local function first_for(ws)
  local at = 0
  while true do
    local ids = redis.call('ZRANGE', k('line', ws), at, at + 49)
    if #ids == 0 then return nil end
    for _, id in ipairs(ids) do
      local needs = redis.call('HMGET', k('job', id), 'platforms', 'baseLayers', 'availableAt')
      local platforms, layers = cjson.decode(needs[1]), cjson.decode(needs[2])
      if has(A.worker.platforms, platforms) and not left_to_another(platforms, layers, tonumber(needs[3])) then
        return id
      end
    end
    at = at + 50
  end
end

local virtual_time = tonumber(redis.call('GET', k('virtual time')) or '0')
local turns = {}
for _, ws in ipairs(redis.call('SMEMBERS', k('waiting'))) do
  local pass = tonumber(redis.call('HGET', k('pass'), ws) or '0')
  turns[#turns + 1] = {ws = ws, pass = math.max(pass, virtual_time)}
end
table.sort(turns, function(a, b)
  if a.pass ~= b.pass then return a.pass < b.pass end
  return a.ws < b.ws
end)
for _, turn in ipairs(turns) do
  local busy = tonumber(redis.call('HGET', k('busy'), turn.ws) or '0')
  local id = busy < A.maxRunning and first_for(turn.ws)
  if id then
    leave(id)
    redis.call('SET', k('virtual time'), text(turn.pass))
    redis.call('HSET', k('pass'), turn.ws, text(turn.pass + (A.strides[turn.ws] or A.stride)))
    set(id, 'status', 'running', 'state', 'preparing', 'token', A.token, 'workerId', A.worker.workerId, 'calls', 0)
    redis.call('HINCRBY', k('job', id), 'attempt', 1)
    redis.call('HSETNX', k('job', id), 'startedAt', text(A.now))
    redis.call('ZADD', k('running'), text(A.now + A.leaseMs), id)
    redis.call('HINCRBY', k('busy'), turn.ws, 1)
    redis.call('HSET', k('workers'), A.worker.workerId, A.status)
    redis.call('SET', k('claim', A.token), id, 'PX', text(A.leaseMs))
    return answer(id)
  end
end
return false
`;

/** Jobs before one in its line, and how long each line is: [ahead, virtual time, [workspace, pass, waiting]…], or nothing. */
export const POSITION = `
promote()
local id = redis.call('HGET', k('build', A.buildId), 'jobId')
if not id or redis.call('HGET', k('build', A.buildId), 'workspaceId') ~= A.workspaceId then return false end
if redis.call('HGET', k('build', A.buildId), 'canceledAt') or get(id, 'status') ~= 'queued' then return false end
local score = (9 - tonumber(get(id, 'priority'))) * 1e13 + tonumber(get(id, 'seq'))
local ahead = redis.call('ZCOUNT', k('line', A.workspaceId), '-inf', '(' .. text(score))
local lines = {}
for _, ws in ipairs(redis.call('SMEMBERS', k('waiting'))) do
  lines[#lines + 1] = {ws, redis.call('HGET', k('pass'), ws) or '0', redis.call('ZCARD', k('line', ws))}
end
return {ahead, redis.call('GET', k('virtual time')) or '0', lines}
`;
