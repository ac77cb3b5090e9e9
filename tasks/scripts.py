"""The scripts that run in Redis, and the names that stand there.

A script is one step for everybody: what it looks at nobody changes before it has written.
"""

ENTRY_POINT = "jobs.run"  # the only function a job may name; short, so that its hash stays compact
WAKE = "dtq:wake"  # published with a queue's name when something was pushed to it
HANDED = "dtq:handed:"  # + worker: published with the id of a task that is handed to it
FINISHED = "dtq:finished"  # published with the ids of tasks that are finished
POPPED = "dtq:popped:"  # + worker: ids popped and not yet started or refused
POPPERS = "dtq:poppers"  # the keys of those sets
READY = "dtq:ready"  # worker → until when, and for which queue names it is ready for the next task
ASKED = 16  # of these, when there is a task to hand over, so that their number costs nothing
READY_FOR = 2  # seconds; a worker with nothing to do says so every second

HEAL = """
local function heal(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('UNLINK', key) end
end
"""

# KEYS: queue list, rq:queues, ready. ARGV: queue name, description, timeout, now, where, ids …
# Where: "front", "back", or "missing" (at the back, and only what has no well-formed job).
# While a worker is ready nothing was pushed to a list since it found all of them empty, so what is
# handed to it overtakes nothing.
PUSH = f"""
{HEAL}
local function hand(id)
  local ready = redis.pcall('HRANDFIELD', KEYS[3], {ASKED}, 'WITHVALUES')
  local name = string.match(ARGV[1], '^(.*):')
  local now = #ready > 0 and tonumber(redis.call('TIME')[1])
  for i = 1, #ready, 2 do
    local worker, expires, names = ready[i], string.match(ready[i + 1], '^(%d+) (.*)$')
    local here = expires and tonumber(expires) >= now
    local serves = names == '*' or names and string.find(names, ' ' .. name .. ' ', 1, true)
    if serves or not here then redis.call('HDEL', KEYS[3], worker) end
    if serves and here and redis.call('PUBLISH', '{HANDED}' .. worker, id) > 0 then
      heal('{POPPED}' .. worker, 'set')
      heal('{POPPERS}', 'set')
      redis.call('SADD', '{POPPED}' .. worker, id)
      redis.call('SADD', '{POPPERS}', '{POPPED}' .. worker)
      return true
    end
  end
  return false
end
heal(KEYS[1], 'list')
heal(KEYS[2], 'set')
redis.call('SADD', KEYS[2], 'rq:queue:' .. ARGV[1])
local alone = #ARGV == 6 and ARGV[5] ~= 'missing' and redis.call('LLEN', KEYS[1]) == 0
local side = ARGV[5] == 'front' and 'LPUSH' or 'RPUSH'
local pushed, listed = 0, 0
for i = 6, #ARGV do
  local job, data = 'rq:job:' .. ARGV[i], '["{ENTRY_POINT}",null,["' .. ARGV[i] .. '"],{{}}]'
  if ARGV[5] ~= 'missing' or redis.pcall('HGET', job, 'data') ~= data then
    redis.call('UNLINK', job)
    redis.call('HSET', job, 'data', data,
      'origin', ARGV[1], 'description', ARGV[2], 'timeout', ARGV[3], 'status', 'queued',
      'created_at', ARGV[4], 'enqueued_at', ARGV[4])
    pushed = pushed + 1
    if not (alone and hand(ARGV[i])) then
      redis.call(side, KEYS[1], ARGV[i])
      listed = listed + 1
    end
  end
end
if listed > 0 then
  redis.call('UNLINK', KEYS[3])
  redis.call('PUBLISH', '{WAKE}', ARGV[1])
end
return pushed
"""

# KEYS: popped set, ready, queue lists … ARGV: how many ordinary ones, how many waiting ones, the
# worker, what it is ready for if nothing is found ("" if for nothing), how many names of waiting
# kinds, those names …, ids to leave the popped set …
POP = f"""
{HEAL}
local ordinary, waiting, kinds = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[5])
local waits = {{}}
for i = 6, 5 + kinds do waits[ARGV[i]] = true end
for i = 6 + kinds, #ARGV, 1000 do
  redis.call('SREM', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
local found = {{}}
for k = 3, #KEYS do
  if ordinary + waiting <= 0 then break end
  local ids = redis.pcall('LRANGE', KEYS[k], 0, ordinary + waiting - 1)
  local taken = 0
  if not ids.err then
    for _, id in ipairs(ids) do
      local name = kinds > 0 and redis.pcall('HGET', 'rq:job:' .. id, 'description')
      if type(name) == 'string' and waits[name] then
        if waiting <= 0 then break end
        waiting = waiting - 1
      else
        if ordinary <= 0 then break end
        ordinary = ordinary - 1
      end
      redis.call('SADD', KEYS[1], id)
      found[#found + 1] = id
      taken = taken + 1
    end
    if taken > 0 then redis.call('LTRIM', KEYS[k], taken, -1) end
  end
end
heal(KEYS[2], 'hash')
if #found > 0 then redis.call('SADD', '{POPPERS}', KEYS[1]) end
if #found == 0 and ARGV[4] ~= '' then
  local expires = redis.call('TIME')[1] + {READY_FOR}
  redis.call('HSET', KEYS[2], ARGV[3], string.format('%d %s', expires, ARGV[4]))
else
  redis.call('HDEL', KEYS[2], ARGV[3])
end
return found
"""

# ARGV: see `Broker.mirror_ended`; the ends as one JSON text, which is quicker to send.
ENDED = """
local now, expires, ttl, worker, ended = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
for _, each in ipairs(cjson.decode(ARGV[6])) do
  local id, origin, status, started = unpack(each)
  local job = 'rq:job:' .. id
  if started ~= '' then redis.call('ZREM', 'rq:wip:' .. origin, started) end
  if status == '' then
    redis.call('UNLINK', job)
  else
    redis.call('HSET', job, 'status', status, 'ended_at', ended, 'worker_name', worker)
    redis.call('EXPIRE', job, ttl)
    redis.call('ZADD', 'rq:' .. status .. ':' .. origin, expires, id)
  end
end
"""
