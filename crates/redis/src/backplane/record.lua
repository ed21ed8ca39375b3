-- The beginning of every script about a record, which is one hash: fields of the owner, if there is one, and marks of
-- nodes that wait. Fields of a newer version are read over.
local RECORD_TTL = 3600000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record, marks = {}, {}
local flat = redis.pcall('HGETALL', KEYS[1])
if flat.err then
  if not flat.err:find('WRONGTYPE', 1, true) then return flat end
  redis.call('DEL', KEYS[1])
  flat = {}
end

-- A number that such a script has written.
local function number(text)
  return text and #text <= 19 and text:match('^%d+$') and tonumber(text) or nil
end

for i = 1, #flat, 2 do
  local node = flat[i]:match('^m:(.*)$')
  if not node then
    record[flat[i]] = flat[i + 1]
  elseif (number(flat[i + 1]) or 0) > now then
    marks[node] = flat[i + 1]
  end
end

-- A broken record has no owner: whoever is it registers again.
record.fence, record.since = number(record.fence), number(record.since)
local node, connection = (record.owner or ''):match('^(%x+):(%d+)$')
if not node or #node > 16 or #connection > 19 or not (record.token and record.fence and record.since) then
  record.owner = nil
end

-- Lua would write such a number as 1.7e+15.
local function digits(number)
  return string.format('%.0f', number)
end

-- Higher than that of all earlier owners: also of those that the store has lost, because it has the time in it.
local function next_fence()
  return math.max((tonumber(record.fence) or 0) + 1, time[1] * 1000000 + time[2])
end

-- Owners that have lost the name and may not know it, the latest first. The node that took the name from them tells them, if
-- it lives long enough and gets the answer; otherwise the next one does.
local FORMER, FORMER_TTL = 4, 60000
local function with_former(owner)
  local former = {}
  for one in (owner .. ' ' .. (record.former or '')):gmatch('%S+') do
    if #former < FORMER then former[#former + 1] = one end
  end
  return table.concat(former, ' ')
end

-- Writes the owner, and answers with it and all marks. They stay for as long as they are good: the answer may be lost, or
-- the owner's node may die before it has told those that wait. The status is 'granted', or 'own' if the record was the
-- owner's already.
local function own(status, owner, token, link, fence, since, replaced, replaced_link, late)
  local former = record.former or ''
  if status == 'granted' then
    if record.owner then former = with_former(record.owner) end
    redis.call('DEL', KEYS[1])
  end
  redis.call('HSET', KEYS[1], 'former', former)
  redis.call('HSET', KEYS[1], 'v', '1', 'owner', owner, 'token', token, 'link', link, 'fence', digits(fence),
    'since', digits(since))
  if late then
    redis.call('HSET', KEYS[1], 'late', '1')
  elseif record.late then
    redis.call('HDEL', KEYS[1], 'late')
  end
  redis.call('PEXPIRE', KEYS[1], RECORD_TTL)
  local answer = {status, digits(fence), replaced or '', replaced_link or '', former}
  for node, expiry in pairs(marks) do
    if status == 'granted' then redis.call('HSET', KEYS[1], 'm:' .. node, expiry) end
    answer[#answer + 1] = node
    answer[#answer + 1] = expiry
  end
  return answer
end
