-- Registers the ids of tokens about to be signed, and decides their iat.
-- KEYS: last iat of all, cutoff of all, epoch of all.
-- ARGV: seconds that a last iat is remembered, seconds that the register outlives a token; prefixes
--   of the register, of the last iat and the cutoff of subjects and of clients, of a subject's
--   epoch, of users, clients, sessions and their tokens; then for each token: jti, sub, client,
--   sid or '', life, number of actors, and the actors.
-- Returns for each token its iat, or a code.
--
-- No types are checked first: an error half way leaves ids registered that nobody signs, and a last
-- iat that is too late; both only deny.
local time = now()
local keep, beyond = tonumber(ARGV[1]), tonumber(ARGV[2])
local register, last_of_subject, last_of_client, cutoff_of_subject, cutoff_of_client,
  epoch_of_subject, user, client_account, session, session_tokens = unpack(ARGV, 3, 12)
local of_all = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local last_of_all, cutoff_of_all, epoch_of_all = tonumber(of_all[1] or 0), of_all[2], of_all[3]

local function refusal(sub, client, sid, epoch)
  if redis.call('HGET', user .. sub, 'disabled') == '1' then return 'subject_disabled' end
  if redis.call('HGET', client_account .. client, 'disabled') == '1' then
    return 'client_disabled'
  end
  if sid == '' then return nil end
  local found = redis.call('HMGET', session .. sid, 'sub', 'epoch_of_all', 'epoch_of_subject')
  if found[1] ~= sub or outdated(epoch_of_all, epoch, found[2], found[3]) then
    return 'session_gone'
  end
  return nil
end

local function remember(last, iat)
  redis.call('SET', last, int(iat), 'EXAT', int(iat + keep))
end

-- The iat of a token: scopes are pairs of a last iat and a cutoff, which stand in `found` too.
local function decide(scopes, found)
  local iat = math.max(time, tonumber(cutoff_of_all or 0))
  for i = 2, #scopes, 2 do iat = math.max(iat, tonumber(found[i] or 0)) end
  for i = 1, #scopes, 2 do
    if iat > tonumber(found[i] or 0) then remember(scopes[i], iat) end
  end
  if iat > last_of_all then
    last_of_all = iat
    remember(KEYS[1], iat)
  end
  return iat
end

local answers = {}
local arg = 13
while ARGV[arg] do
  local jti, sub, client, sid, life, actors = unpack(ARGV, arg, arg + 5)
  local scopes = {
    last_of_subject .. sub, cutoff_of_subject .. sub,
    last_of_client .. client, cutoff_of_client .. client,
  }
  for actor = arg + 6, arg + 5 + tonumber(actors) do
    table.insert(scopes, last_of_client .. ARGV[actor])
    table.insert(scopes, cutoff_of_client .. ARGV[actor])
  end
  local found = redis.call('MGET', epoch_of_subject .. sub, unpack(scopes))
  local code = refusal(sub, client, sid, table.remove(found, 1))
  if code then
    table.insert(answers, code)
  else
    local iat = decide(scopes, found)
    local exp = iat + tonumber(life)
    redis.call('SET', register .. jti, sid ~= '' and sid or client, 'EXAT', int(exp + beyond))
    if sid ~= '' then
      local tokens = session_tokens .. sid
      redis.call('ZREMRANGEBYSCORE', tokens, '-inf', int(time - beyond))
      redis.call('ZADD', tokens, int(exp), jti)
      redis.call('EXPIREAT', tokens, int(exp + beyond), 'GT')
      redis.call('EXPIREAT', tokens, int(exp + beyond), 'NX')
    end
    table.insert(answers, iat)
  end
  arg = arg + 6 + tonumber(actors)
end
return answers
