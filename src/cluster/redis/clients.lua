-- How many clients of one key each node has: node -> '<clients> <when the node last said so>'.
-- ARGV: node, 'add' | 'drop' | 'set', for 'add' the limit or '', for 'set' the number.
local TTL = 3600000
local node, what = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sum, own, nodes = 0, 0, {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local clients, at = flat[i + 1]:match('^(%d+) (%d+)')
  if tonumber(at) + TTL < now then
    redis.call('HDEL', KEYS[1], flat[i])
  else
    sum = sum + clients
    nodes[#nodes + 1] = flat[i]
    if flat[i] == node then own = tonumber(clients) end
  end
end
if what == 'add' then
  if ARGV[3] ~= '' and sum >= tonumber(ARGV[3]) then return nodes end
  own = own + 1
elseif what == 'drop' then
  own = math.max(own - 1, 0)
else
  own = tonumber(ARGV[3])
end
if own == 0 then
  redis.call('HDEL', KEYS[1], node)
else
  redis.call('HSET', KEYS[1], node, string.format('%.0f %.0f', own, now))
end
redis.call('PEXPIRE', KEYS[1], TTL)
return 1
