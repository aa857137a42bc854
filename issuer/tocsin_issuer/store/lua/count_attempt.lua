-- Counts a login before its password is looked at, so that a burst cannot outrun the count.
-- KEYS: attempts. ARGV: attempts allowed, seconds they are remembered, seconds of a lock.
-- Returns 1 where the account is locked. Attempts on a locked account do not prolong the lock.
local attempts = redis.call('INCR', KEYS[1])
local allowed = tonumber(ARGV[1])
if attempts == allowed then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
elseif attempts == 1 then
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return attempts > allowed and 1 or 0
