-- ARGV: owner. The marks stay, and for a while the owners that may not know that they are owners no more.
if record.owner ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
local last = 0
for node, expiry in pairs(marks) do
  redis.call('HSET', KEYS[1], 'v', '1', 'm:' .. node, expiry)
  last = math.max(last, tonumber(expiry))
end
if record.former and record.former ~= '' then
  redis.call('HSET', KEYS[1], 'v', '1', 'former', record.former)
  last = math.max(last, now + FORMER_TTL)
end
if last > 0 then redis.call('PEXPIREAT', KEYS[1], digits(last)) end
return 1
