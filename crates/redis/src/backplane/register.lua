-- ARGV: owner, token, link, an owner that is dead or '', fence, since, the owner under its node's former name or '',
-- the lowest fence of a claim, '1' if the owner's node was away for longer than a lease since its claim.
local owner, token, link, over, former = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local fence, since, claimed = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[8])
local late = ARGV[9] == '1'
local held, old = record.owner, tonumber(record.fence) or 0
if held == over then held = nil end
if held == owner or held == former then
  return own('own', owner, token, link, math.max(fence, old), since, nil, nil, late)
end

-- Whether the record knows that this connection has lost the name.
local function is_displaced()
  for one in (record.former or ''):gmatch('%S+') do
    if one == owner or one == former then return true end
  end
  return false
end

local is_older = false
if held then
  local wins
  if record.token == token then
    -- The newer connection. Fences say which it is if both have claimed, and no clock of a node has to be right.
    if math.min(fence, old) >= claimed then wins = fence >= old else wins = since >= tonumber(record.since) end
  elseif is_displaced() then
    wins = false
  elseif math.min(fence, old) >= claimed and not late and record.late ~= '1' then
    -- The later claim was made in a Redis that had lost the record.
    is_older = fence < old
    wins = is_older
  else
    wins = fence > old
  end
  if not wins then return {'lost', held} end
end
-- Its own fence if possible: then all registrations after an outage have the same winner, in whichever order they come.
if fence <= old and not is_older then fence = next_fence() end
return own('granted', owner, token, link, fence, since, held, held and record.link, late)
