-- Exchanges a refresh token for the next one of its family: once, and once more where the answer
-- was lost.
-- KEYS: outbox, session, tokens of the session, epoch of all, whose the session was if it is ended
--   here for a reuse, how many refreshes there have been.
-- ARGV: generation, digest of the family's part, digest of the secret, digest of the next secret,
--   client or '', seconds it may be idle, prefix of a subject's epoch, seconds that a rule against a
--   session lives, exp leeway, prefix of the projection, this session in an event up to its number,
--   digest of the device or '', milliseconds of grace; the events of a reuse, of a generation ahead
--   and of another device, each up to the session; prefix of the registered clients, or '' where the
--   client has authenticated; prefix of a client's epoch.
-- Returns {'ok', sub, client, audiences, when the session ends if it is not used}, {'unknown'},
--   {'other_client'}, {'unauthenticated'}, or {'reused', 'ahead' or 'other_device', entry id}.
expect('stream', KEYS[1])
expect('hash', KEYS[2])
expect('zset', KEYS[3])
expect('string', KEYS[4], KEYS[5], KEYS[6])

local fields = redis.call('HMGET', KEYS[2], 'sub', 'client_id', 'audiences', 'ends', 'generation',
  'family', 'secret', 'device_digest', 'before', 'replaced_ms',
  'epoch_of_all', 'epoch_of_subject', 'epoch_of_client')
local sub, client, audiences, ends, stored, family, secret = unpack(fields, 1, 7)
local device, before, replaced_ms = fields[8] or '', fields[9], tonumber(fields[10] or 0)

-- Without the family's part nobody can end a session by its sid alone, which stands in each token.
if not sub or family ~= ARGV[2] then return {'unknown'} end
if outdated(redis.call('MGET', KEYS[4], ARGV[7] .. sub, ARGV[18] .. client), {unpack(fields, 11)}) then
  forget_session(KEYS[2])
  return {'unknown'}
end
if ARGV[5] ~= '' and ARGV[5] ~= client then return {'other_client'} end
-- A client that has credentials must have shown them (RFC 6749 section 6).
if ARGV[17] ~= '' and redis.call('EXISTS', ARGV[17] .. client) == 1 then
  return {'unauthenticated'}
end

local generation, time = tonumber(ARGV[1]), now()
stored = tonumber(stored)

local function end_family(code, event)
  local entry = emit(KEYS[1], event .. ARGV[11] .. int(time + tonumber(ARGV[8])) .. '}]}}]')
  end_session(KEYS[2], KEYS[3], ARGV[10], tonumber(ARGV[9]))
  return {code, entry}
end

local function accept()
  return {'ok', sub, client, audiences, redis.call('EXPIRETIME', KEYS[2])}
end

local function replace(...)
  redis.call('INCR', KEYS[6])
  redis.call('HSET', KEYS[2], 'secret', ARGV[4], 'seen', int(time), ...)
  redis.call('EXPIREAT', KEYS[2], int(math.min(time + tonumber(ARGV[6]), tonumber(ends))))
  return accept()
end

if device ~= '' and device ~= ARGV[12] then return end_family('other_device', ARGV[16]) end

-- The same call again, after its connection broke: nobody else knows the next secret.
if generation + 1 == stored and secret == ARGV[4] then return accept() end

if generation == stored and secret == ARGV[3] then
  return replace('generation', int(generation + 1), 'before', secret,
    'replaced_ms', int(now_ms()))
end

-- The token before this one, again: its answer was lost. The answer that nobody has seen is worth
-- nothing from now on, and there is no second grace.
local late_ms = now_ms() - replaced_ms
if device ~= '' and generation + 1 == stored and before == ARGV[3]
  and late_ms >= 0 and late_ms < tonumber(ARGV[13]) then
  return replace('before', '')
end

if generation > stored then return end_family('ahead', ARGV[15]) end
local answer = end_family('reused', ARGV[14])
redis.call('SET', KEYS[5], sub, 'EX', 60) -- who came first may still wait for an answer
return answer
