-- Creates a session with its refresh family.
-- KEYS: session, epoch of all, epoch of its subject, user.
-- ARGV: seconds it may be idle, seconds it may last, then its fields and their values …
expect('hash', KEYS[1], KEYS[4])
expect('string', KEYS[2], KEYS[3])
if redis.call('HGET', KEYS[4], 'disabled') == '1' then return 'subject_disabled' end
local time = now()
local ends = time + tonumber(ARGV[2])
redis.call('HSET', KEYS[1],
  'created', int(time), 'ends', int(ends),
  'epoch_of_all', redis.call('GET', KEYS[2]) or '',
  'epoch_of_subject', redis.call('GET', KEYS[3]) or '',
  unpack(ARGV, 3))
redis.call('EXPIREAT', KEYS[1], int(math.min(time + tonumber(ARGV[1]), ends)))
return 'ok'
