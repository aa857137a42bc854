-- Creates a session with its refresh family.
-- KEYS: session, epoch of all, of its subject and of its client, user, index of its subject's
--   sessions.
-- ARGV: seconds it may be idle, seconds it may last, '=' and the epoch in which its subject showed a
--   password of ours ('' where another directory vouches), then its fields and their values …
-- Returns {'ok', when it ends if it is not used}, {'subject_disabled'}, or {'subject_changed'} where
--   the user was deleted, or an epoch began, since the password was read.
expect('hash', KEYS[1], KEYS[5])
expect('string', KEYS[2], KEYS[3], KEYS[4])
expect('zset', KEYS[6])
if redis.call('HGET', KEYS[5], 'disabled') == '1' then return {'subject_disabled'} end
local epoch_of_subject = redis.call('GET', KEYS[3]) or ''
if ARGV[3] ~= '' and (ARGV[3] ~= '=' .. epoch_of_subject or redis.call('EXISTS', KEYS[5]) == 0) then
  return {'subject_changed'}
end
local time, lasts = now(), tonumber(ARGV[2])
local ends = time + lasts
local idle_end = math.min(time + tonumber(ARGV[1]), ends)
redis.call('HSET', KEYS[1],
  'created', int(time), 'seen', int(time), 'ends', int(ends), 'index', KEYS[6],
  'epoch_of_all', redis.call('GET', KEYS[2]) or '',
  'epoch_of_subject', epoch_of_subject,
  'epoch_of_client', redis.call('GET', KEYS[4]) or '',
  unpack(ARGV, 4))
redis.call('EXPIREAT', KEYS[1], int(idle_end))
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', int(time - lasts))
redis.call('ZADD', KEYS[6], int(time), KEYS[1])
redis.call('EXPIREAT', KEYS[6], int(ends))
return {'ok', idle_end}
