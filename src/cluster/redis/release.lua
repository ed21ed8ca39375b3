-- ARGV: owner, then marks to put back: node, expiry.
if record.owner ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do marks[ARGV[i]] = ARGV[i + 1] end
redis.call('DEL', KEYS[1])
local last = 0
for node, expiry in pairs(marks) do
  redis.call('HSET', KEYS[1], 'v', '1', 'm:' .. node, expiry)
  last = math.max(last, tonumber(expiry))
end
if last > 0 then redis.call('PEXPIREAT', KEYS[1], digits(last)) end
return 1
