-- Answers 1 if Redis writes each change to its disk, 0 if not.
return string.match(redis.call('INFO', 'persistence'), 'aof_enabled:(%d)')
