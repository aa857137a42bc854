-- Takes back one attempt, and the pause only where it is that attempt's own: a good login must not
-- open what a guess has closed in the meantime.
-- KEYS: as for count_attempt. ARGV: the attempt's id; seconds to remember a success for, or 0.
local scopes, success = #KEYS - 1, tonumber(ARGV[2]) > 0
for i = 1, scopes do expect('hash', KEYS[i]) end
local known = redis.call('EXISTS', KEYS[#KEYS]) == 1
if success then
  redis.call('SET', KEYS[#KEYS], '1', 'EX', ARGV[2])
  redis.call('DEL', KEYS[1])
end
for i = success and 2 or 1, known and scopes - 1 or scopes do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    if redis.call('HGET', KEYS[i], 'closer') == ARGV[1] then
      redis.call('HDEL', KEYS[i], 'until', 'closer')
    end
    if redis.call('HINCRBY', KEYS[i], 'failures', -1) <= 0 then redis.call('DEL', KEYS[i]) end
  end
end
