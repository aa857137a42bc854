-- Replaces a password's hash by one with newer parameters, unless the password has changed.
-- KEYS: user. ARGV: the hash that was verified, the new one.
if redis.call('HGET', KEYS[1], 'password') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'password', ARGV[2])
end
