-- ARGV: the node that asks, an owner that is dead or '', for how long the node waits in milliseconds.
local asker, over, mark = ARGV[1], ARGV[2], tonumber(ARGV[3])
if record.owner and record.owner ~= over then return record.owner end
if mark > 0 then
  local expiry = math.max(tonumber(marks[asker]) or 0, now + mark)
  redis.call('HSET', KEYS[1], 'v', '1', 'm:' .. asker, digits(expiry))
  if redis.call('PTTL', KEYS[1]) < mark then redis.call('PEXPIRE', KEYS[1], mark) end
end
return false
