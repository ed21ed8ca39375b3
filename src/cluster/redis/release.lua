-- ARGV: owner. The marks stay.
if record.owner ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
local last = 0
for node, expiry in pairs(marks) do
  redis.call('HSET', KEYS[1], 'v', '1', 'm:' .. node, expiry)
  last = math.max(last, tonumber(expiry))
end
if last > 0 then redis.call('PEXPIREAT', KEYS[1], digits(last)) end
return 1
