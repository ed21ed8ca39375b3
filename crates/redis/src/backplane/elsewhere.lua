-- The living nodes of the other databases of this Redis, as 'NUMBER NAME', behind the number of the database that has a node.
-- ARGV: node.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local own, found = '', {}
for database in string.gmatch(redis.call('INFO', 'keyspace'), 'db(%d+):') do
  redis.call('SELECT', database)
  local flat = redis.pcall('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    local fine, member = pcall(cjson.decode, flat[i + 1])
    local is_alive = fine and type(member) == 'table' and type(member.e) == 'number' and member.e > now
    if flat[i] == ARGV[1] then
      own = database
    elseif is_alive and type(member.n) == 'string' then
      found[#found + 1] = database .. ' ' .. member.n
    end
  end
end
table.insert(found, 1, own)
return found
