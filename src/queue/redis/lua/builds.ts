/** Views of builds: [build, job] each. */
export const VIEWS = `
local views = {}
for _, build in ipairs(A.builds) do views[#views + 1] = view(build) end
return views
`;

/** The build ends; its job too, when nobody else wants it. */
export const CANCEL = `
local build = k('build', A.buildId)
local id = redis.call('HGET', build, 'jobId')
if not id or redis.call('HGET', build, 'workspaceId') ~= A.workspaceId then return false end
local status = get(id, 'status')
if status == 'ended' or redis.call('HGET', build, 'canceledAt') then return view(A.buildId) end
local last = redis.call('LLEN', k('events', id))
redis.call('HSET', build, 'canceledAt', text(A.now), 'endCursor', last + 1, 'endEvent', get(id, 'attempt') .. ' ' .. A.event)
redis.call('ZADD', k('ended'), text(A.now), A.buildId)
if redis.call('HINCRBY', k('job', id), 'live', -1) == 0 then
  if status == 'running' then
    set(id, 'canceled', 1)
    unshare(id)
  else
    finish(id, {state = 'canceled', event = A.event})
  end
end
redis.call('PUBLISH', k('told'), id)
moved(id)
return view(A.buildId)
`;

/** Events behind a cursor: [job status, events, cursor and event of the build's own end]; nothing when the build is gone. */
export const EVENTS = `
local build = redis.call('HMGET', k('build', A.buildId), 'jobId', 'endCursor', 'endEvent')
if not build[1] then return false end
local last = build[2] and tonumber(build[2]) - 2 or -1
local to = A.after + A.batch - 1
if build[2] and to > last then to = last end
local events = {}
if to >= A.after then events = redis.call('LRANGE', k('events', build[1]), A.after, to) end
return {get(build[1], 'status'), events, build[2], build[3]}
`;

/** Ends a queued job that waited past its deadline. */
export const EXPIRE = `
if get(A.id, 'status') ~= 'queued' then return 'held' end
finish(A.id, A.finish)
moved(A.id)
return 'released'
`;

/** Removes builds that ended, and jobs that no build is left of. Says how many. */
export const FORGET = `
local count = 0
for _, build in ipairs(redis.call('ZRANGEBYSCORE', k('ended'), '-inf', '(' .. text(A.before), 'LIMIT', 0, A.batch)) do
  local its = redis.call('HMGET', k('build', build), 'jobId', 'workspaceId', 'idempotencyKey')
  local id, ws, once = its[1], its[2], its[3]
  redis.call('ZREM', k('ended'), build)
  redis.call('ZREM', k('builds', ws), build)
  if once then redis.call('HDEL', k('idempotent', ws), once) end
  redis.call('DEL', k('build', build))
  redis.call('SREM', k('builds of', id), build)
  if redis.call('SCARD', k('builds of', id)) == 0 and get(id, 'status') == 'ended' then
    redis.call('DEL', k('job', id), k('events', id), k('journal', id), k('builds of', id))
    redis.call('SREM', k('dead'), id)
  end
  count = count + 1
end
return count
`;
