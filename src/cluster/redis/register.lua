-- ARGV: owner, token, link, an owner that is dead or '', fence, since, the owner under its node's former name or '',
-- the lowest fence of a claim.
local owner, token, link, over, former = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[7]
local fence, since, claimed = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[8])
local held, old = record.owner, tonumber(record.fence) or 0
if held == over then held = nil end
if held == owner or held == former then
  return own('own', owner, token, link, math.max(fence, old), since)
end
if held then
  local wins
  if record.token == token then
    -- The newer connection. Fences say which it is if both have claimed, and no clock of a node has to be right.
    if math.min(fence, old) >= claimed then wins = fence >= old else wins = since >= tonumber(record.since) end
  else
    wins = fence > old
  end
  if not wins then return {'lost', held} end
end
-- Its own fence if possible: then all registrations after an outage have the same winner, in whichever order they come.
if fence <= old then fence = next_fence() end
return own('granted', owner, token, link, fence, since, held, held and record.link)
