-- Changes fields of a user or client that exists. KEYS: the account. ARGV: fields …
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
