-- Makes an inbox. ARGV: for how long it stays in milliseconds. A stream begins with an entry, and readers begin behind it.
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('XADD', KEYS[1], '0-1', 'v', '1') end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
