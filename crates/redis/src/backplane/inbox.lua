-- Makes an inbox, or keeps it. ARGV: 'join' | 'renew', for how long it stays in milliseconds. A stream begins with an entry, and
-- readers begin behind it. Answers 0 if there is none, which is so too if something else is under its key.
local made = ARGV[1] == 'join' and redis.call('EXISTS', KEYS[1]) == 0
if made then redis.call('XADD', KEYS[1], '0-1', 'v', '1') end
local trimmed = redis.pcall('XTRIM', KEYS[1], 'MINID', '0')
if type(trimmed) == 'table' and trimmed.err then
  if not trimmed.err:find('WRONGTYPE', 1, true) then return trimmed end
  redis.call('DEL', KEYS[1])
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
