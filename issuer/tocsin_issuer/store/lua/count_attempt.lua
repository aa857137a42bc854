-- Counts an attempt before its password is looked at, so that a burst cannot outrun the count. Where
-- a scope is closed nothing is counted: who goes on asking does not stay outside for longer.
-- KEYS: a hash of failures, until and closer for each scope; then one that, where it exists, takes
-- the last scope out. ARGV: the attempt's id, seconds of the first pause, of the longest one, that
-- failures are remembered; then for each scope how many are free.
-- Returns the seconds to wait, 0 where the attempt may go on.
local scopes = #KEYS - 1
for i = 1, scopes do expect('hash', KEYS[i]) end
if redis.call('EXISTS', KEYS[#KEYS]) == 1 then scopes = scopes - 1 end
local time, wait = now(), 0
for i = 1, scopes do
  wait = math.max(wait, tonumber(redis.call('HGET', KEYS[i], 'until') or 0) - time)
end
if wait > 0 then return wait end
for i = 1, scopes do
  local failures, free = redis.call('HINCRBY', KEYS[i], 'failures', 1), tonumber(ARGV[4 + i])
  if failures >= free then
    local pause = math.min(tonumber(ARGV[3]), tonumber(ARGV[2]) * 2 ^ (failures - free))
    redis.call('HSET', KEYS[i], 'until', int(time + pause), 'closer', ARGV[1])
  end
  redis.call('EXPIRE', KEYS[i], ARGV[4])
end
return 0
