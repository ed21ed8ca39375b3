-- How many clients of one key each node has: node -> '<clients> <when the node last said so>'.
-- ARGV: node, 'add' | 'drop' | 'set', for 'add' the limit or '', for 'set' the number.
local TTL = 3600000
local node, what, number = ARGV[1], ARGV[2], tonumber(ARGV[3] or '')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local known = redis.pcall('HGET', KEYS[1], node)
if type(known) == 'table' and known.err then
  if not known.err:find('WRONGTYPE', 1, true) then return known end
  redis.call('DEL', KEYS[1])
  known = nil
end

-- Nodes that have said nothing for too long are forgotten, and so are broken entries.
local function is_full()
  local sum, nodes = 0, {}
  local flat = redis.call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    local clients, at = flat[i + 1]:match('^(%d+) (%d+)')
    local is_whole = clients and #clients < 10 and #flat[i] <= 16 and flat[i]:match('^%x+$')
    if not is_whole or tonumber(at) + TTL < now then
      redis.call('HDEL', KEYS[1], flat[i])
    else
      sum = sum + clients
      nodes[#nodes + 1] = flat[i]
    end
  end
  return sum >= number and nodes
end

-- Only a limit is about all nodes. Everything else costs the same for any number of them.
local full = what == 'add' and number and is_full()
if full then return full end
local own = tonumber((known or '0'):match('^%d+ ') or '0')
if what == 'add' then
  own = own + 1
elseif what == 'drop' then
  own = math.max(own - 1, 0)
else
  own = number
end
if own == 0 then
  redis.call('HDEL', KEYS[1], node)
else
  redis.call('HSET', KEYS[1], node, string.format('%.0f %.0f', own, now))
end
redis.call('PEXPIRE', KEYS[1], TTL)
return 1
