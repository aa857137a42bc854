-- Exchanges a refresh token for the next one of its family, once.
-- KEYS: outbox, session, tokens of the session, epoch of all.
-- ARGV: generation, digest of the family's part, digest of the secret, digest of the next secret,
--   client or '', seconds it may be idle, prefix of a subject's epoch, seconds that a rule against a
--   session lives, exp leeway, prefix of the projection, this session in an event up to its number,
--   the event of a reuse and that of a generation ahead, each up to the session.
-- Returns {'ok', sub, client, audiences}, {'unknown'}, {'other_client'}, or
--   {'reused' or 'ahead', entry id}.
expect('stream', KEYS[1])
expect('hash', KEYS[2])
expect('zset', KEYS[3])
expect('string', KEYS[4])

local fields = redis.call('HMGET', KEYS[2], 'sub', 'client_id', 'audiences', 'ends', 'generation',
  'family', 'secret', 'epoch_of_all', 'epoch_of_subject')
local sub, client, audiences, ends, stored, family, secret = unpack(fields, 1, 7)

-- Without the family's part nobody can end a session by its sid alone, which stands in each token.
if not sub or family ~= ARGV[2] then return {'unknown'} end
if outdated(redis.call('GET', KEYS[4]), redis.call('GET', ARGV[7] .. sub), fields[8], fields[9]) then
  redis.call('DEL', KEYS[2])
  return {'unknown'}
end
if ARGV[5] ~= '' and ARGV[5] ~= client then return {'other_client'} end

local generation, time = tonumber(ARGV[1]), now()
stored = tonumber(stored)
-- The same call again, after its connection broke: nobody else knows the next secret.
if generation + 1 == stored and secret == ARGV[4] then
  return {'ok', sub, client, audiences}
end
if generation == stored and secret == ARGV[3] then
  redis.call('HSET', KEYS[2], 'generation', int(generation + 1), 'secret', ARGV[4])
  redis.call('EXPIREAT', KEYS[2], int(math.min(time + tonumber(ARGV[6]), tonumber(ends))))
  return {'ok', sub, client, audiences}
end

local code, event = 'reused', ARGV[12]
if generation > stored then
  code, event = 'ahead', ARGV[13]
end
local entry = emit(KEYS[1], event .. ARGV[11] .. int(time + tonumber(ARGV[8])) .. '}]}}]')
end_session(KEYS[2], KEYS[3], ARGV[10], tonumber(ARGV[9]))
return {code, entry}
