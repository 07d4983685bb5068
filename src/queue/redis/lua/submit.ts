/** Puts a build into the queue, or joins it to the job that does the same. Answers [how, view]; safe to send twice. */
export const SUBMIT = `
if redis.call('EXISTS', k('build', A.buildId)) == 1 then
  return {redis.call('HGET', k('build', A.buildId), 'how'), view(A.buildId)}
end
local ws = A.workspaceId
if A.idempotencyKey then
  local before = redis.call('HGET', k('idempotent', ws), A.idempotencyKey)
  if before then return {'repeated', view(before)} end
end
local id = redis.call('HGET', k('inflight', ws), A.key)
local how = id and 'shared' or 'queued'
local seq = redis.call('INCR', k('seq'))
if not id then
  id = A.jobId
  set(id, 'jobId', id, 'seq', seq, 'workspaceId', ws, 'imageId', A.imageId, 'key', A.key, 'spec', A.spec,
    'priority', A.priority, 'platforms', A.platforms, 'baseLayers', A.baseLayers, 'attempt', 0, 'state', 'queued',
    'live', 0, 'submittedAt', text(A.now))
  if A.deadlineMs then set(id, 'deadlineMs', text(A.deadlineMs)) end
  redis.call('HSET', k('inflight', ws), A.key, id)
  append(id, {A.event}, 'queued')
  enqueue(id, A.now)
else
  local queued = get(id, 'status') == 'queued'
  local deadline = get(id, 'deadlineMs')
  if deadline and (not A.deadlineMs or A.deadlineMs > tonumber(deadline)) then
    redis.call('ZREM', k('deadlines'), id)
    if A.deadlineMs then
      set(id, 'deadlineMs', text(A.deadlineMs))
      if queued then redis.call('ZADD', k('deadlines'), text(A.deadlineMs), id) end
    else
      redis.call('HDEL', k('job', id), 'deadlineMs')
    end
  end
  if A.priority > tonumber(get(id, 'priority')) then
    set(id, 'priority', A.priority)
    if queued and redis.call('ZSCORE', k('line', ws), id) then line_up(id) end
  end
end
redis.call('HINCRBY', k('job', id), 'live', 1)
redis.call('HSET', k('build', A.buildId), 'buildId', A.buildId, 'seq', seq, 'jobId', id, 'workspaceId', ws,
  'imageId', A.imageId, 'priority', A.priority, 'submittedAt', text(A.now), 'how', how)
if A.idempotencyKey then
  redis.call('HSET', k('build', A.buildId), 'idempotencyKey', A.idempotencyKey)
  redis.call('HSET', k('idempotent', ws), A.idempotencyKey, A.buildId)
end
redis.call('SADD', k('builds of', id), A.buildId)
redis.call('ZADD', k('builds', ws), seq, A.buildId)
moved(id)
return {how, view(A.buildId)}
`;
