-- Puts fields into a hash, for a time.
-- ARGV: milliseconds until the hash is deleted, 1 if it is left alone where it exists, then fields with their values.
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
