-- The leases of all nodes: node -> a JSON object with the end of the lease, `e`, the node's name, `n`, its place, `a`, its
-- settings, `s`, which older nodes lack, and `l` if it has left. A broken entry is dropped, and named in the answer.
-- ARGV: node, 'join' | 'renew' | 'leave', the lease in milliseconds, the settings, the name, the place.
local KNOWN = 3600000
local node, what, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known, broken = {}, {}
local flat = redis.pcall('HGETALL', KEYS[1])
if flat.err then
  if not flat.err:find('WRONGTYPE', 1, true) then return flat end
  redis.call('DEL', KEYS[1])
  flat, broken = {}, {KEYS[1]}
end
local function is_whole(name, member)
  return #name <= 16 and name:match('^%x+$') and type(member) == 'table' and type(member.e) == 'number'
    and type(member.n) == 'string' and type(member.a) == 'string'
end
for i = 1, #flat, 2 do
  local fine, member = pcall(cjson.decode, flat[i + 1])
  if not fine or not is_whole(flat[i], member) then
    redis.call('HDEL', KEYS[1], flat[i])
    broken[#broken + 1] = flat[i]
  elseif member.e + KNOWN < now then
    redis.call('HDEL', KEYS[1], flat[i])
  else
    known[flat[i]] = member
  end
end

local own = known[node]
if what == 'join' then
  -- Alive: the same join, because its first answer was lost.
  if own and own.e <= now then return false end
  own = {v = 1, e = now + lease, n = ARGV[5], a = ARGV[6], s = ARGV[4]}
  known[node] = own
elseif not own or own.e <= now then
  -- A lease that has ended never goes on.
  return false
elseif what == 'renew' then
  own.e, own.s = now + lease, ARGV[4]
else
  own.e, own.l = now, true
end
redis.call('HSET', KEYS[1], node, cjson.encode(own))
redis.call('PEXPIRE', KEYS[1], KNOWN + lease)

local answer = {string.format('%.0f', now)}
for name, member in pairs(known) do
  answer[#answer + 1] = name
  answer[#answer + 1] = member.n
  answer[#answer + 1] = member.a
  answer[#answer + 1] = type(member.s) == 'string' and member.s or ''
  answer[#answer + 1] = member.e > now and '1' or member.l and 'left' or '0'
end
for _, name in ipairs(broken) do
  answer[#answer + 1] = name
  for _ = 1, 3 do answer[#answer + 1] = '' end
  answer[#answer + 1] = 'broken'
end
return answer
