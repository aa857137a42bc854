-- Registers the ids of tokens about to be signed, and decides their iat.
-- KEYS: last iat of all, cutoff of all, epoch of all, revoked keys.
-- ARGV: seconds that a last iat is remembered, seconds that the register outlives a token; prefixes
--   of the register, of the last iat and the cutoff of subjects and of clients, of a subject's
--   and of a client's epoch, of users, clients, sessions and their tokens, of the projection, and of
--   sessions that a reuse has ended; then for each token:
--   jti, sub, client, '=' and the generation of the credentials that it has shown ('' where it has
--   shown none), sid or '', life, digest of what it says, the token that it is derived from or '',
--   jti and iat of that one's origin, the token by which the client says that it acts or '', number
--   of actors, and the actors. With a life of 0 it is only asked whether a token would be issued. A
--   token that is shown is its jti, kid, exp, iat and digest, each on a line.
-- Returns for each token its iat, or a code.
--
-- No types are checked first: an error half way leaves ids registered that nobody signs, and a last
-- iat that is too late; both only deny.
local time = now()
local keep, beyond = tonumber(ARGV[1]), tonumber(ARGV[2])
local register, last_of_subject, last_of_client, cutoff_of_subject, cutoff_of_client,
  epoch_of_subject, epoch_of_client, user, client_account, session, session_tokens, denied, reused =
  unpack(ARGV, 3, 15)
local of_all = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3])
local last_of_all, cutoff_of_all, epoch_of_all = tonumber(of_all[1] or 0), of_all[2], of_all[3]

-- Why no token can be issued. If it can, the second value tells whether its session is dead already:
-- of those who came with one refresh token the first is answered, however soon the next one has
-- ended the session. The rule against the session is in the outbox, and outlives the token.
local function refusal(sub, client, generation, sid, epoch)
  if redis.call('HGET', user .. sub, 'disabled') == '1' then return 'subject_disabled' end
  local account = redis.call('HMGET', client_account .. client, 'disabled', 'generation')
  if account[1] == '1' then return 'client_disabled' end
  if generation ~= '' and generation ~= '=' .. (account[2] or '') then return 'client_changed' end
  if sid == '' then return nil end
  local found = redis.call('HMGET', session .. sid, 'sub', 'client_id',
    'epoch_of_all', 'epoch_of_subject', 'epoch_of_client')
  if not found[1] and redis.call('GET', reused .. sid) == sub then return nil, true end
  if found[1] ~= sub then return 'session_gone' end
  local of_client = redis.call('GET', epoch_of_client .. found[2]) -- a derived token has another one
  if outdated({epoch_of_all, epoch, of_client}, {unpack(found, 3)}) then return 'session_gone' end
  return nil
end

-- What is wrong with a token that is shown, whatever the ledger's readers know yet: 'unknown' where
-- the register has none like it, since it was never issued, or not with these claims, or has expired;
-- or 'revoked'. Its origin is given by jti and iat, which are its own where it is not derived.
-- `cutoffs` are those that it falls under, a number or nothing each; those of accounts and sessions
-- that are no more are looked at elsewhere.
local function fault(shown, origin, origin_iat, cutoffs)
  local jti, kid, exp, rest = shown:match('^(.-)\n(.-)\n(%d+)(\n.*)$')
  local entry = redis.call('GET', register .. jti)
  if not entry or entry:sub(-#rest) ~= rest then return 'unknown' end
  if tonumber(exp) + beyond > redis.call('EXPIRETIME', register .. jti) then return 'unknown' end
  if redis.call('SISMEMBER', KEYS[4], kid) == 1 then return 'revoked' end
  if redis.call('EXISTS', denied .. jti, denied .. (origin or jti)) ~= 0 then return 'revoked' end
  local iat = tonumber(rest:match('%d+'))
  iat = math.min(iat, tonumber(origin_iat or iat))
  for _, cutoff in ipairs(cutoffs) do
    if iat < tonumber(cutoff or 0) then return 'revoked' end
  end
  return nil
end

-- Why no token can be derived from that one now.
local function refusal_of_parent(shown, origin, origin_iat, found)
  local cutoffs = {cutoff_of_all}
  for i = 2, #found, 2 do table.insert(cutoffs, found[i]) end
  local wrong = fault(shown, origin, origin_iat, cutoffs)
  return wrong and 'parent_' .. wrong
end

-- Why a client's own token does not show that it acts. A client is the subject of its tokens.
local function refusal_of_actor(shown, client)
  local cutoffs = redis.call('MGET', cutoff_of_subject .. client, cutoff_of_client .. client)
  table.insert(cutoffs, cutoff_of_all)
  local wrong = fault(shown, nil, nil, cutoffs)
  return wrong and 'actor_' .. wrong
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
local arg = 16
while ARGV[arg] do
  local jti, sub, client, generation, sid, life, digest, parent, origin, origin_iat,
    acting, actors = unpack(ARGV, arg, arg + 11)
  local scopes = {
    last_of_subject .. sub, cutoff_of_subject .. sub,
    last_of_client .. client, cutoff_of_client .. client,
  }
  local closed = nil
  for actor = arg + 12, arg + 11 + tonumber(actors) do
    table.insert(scopes, last_of_client .. ARGV[actor])
    table.insert(scopes, cutoff_of_client .. ARGV[actor])
    if redis.call('HGET', client_account .. ARGV[actor], 'disabled') == '1' then
      closed = 'client_disabled'
    end
  end
  local found = redis.call('MGET', epoch_of_subject .. sub, unpack(scopes))
  local code, dead = refusal(sub, client, generation, sid, table.remove(found, 1))
  code = closed or code
  if not code and parent ~= '' then
    code = refusal_of_parent(parent, origin, origin_iat, found)
  end
  if not code and acting ~= '' then code = refusal_of_actor(acting, client) end
  if code then
    table.insert(answers, code)
  elseif tonumber(life) == 0 then
    table.insert(answers, time)
  else
    local iat = decide(scopes, found)
    local exp = iat + tonumber(life)
    local entry = table.concat({sid, client, int(iat), digest}, '\n')
    redis.call('SET', register .. jti, entry, 'EXAT', int(exp + beyond))
    if dead then
      redis.call('SET', denied .. jti, '1', 'EXAT', int(exp + beyond))
    elseif sid ~= '' then
      local tokens = session_tokens .. sid
      redis.call('ZREMRANGEBYSCORE', tokens, '-inf', int(time - beyond))
      redis.call('ZADD', tokens, int(exp), jti)
      redis.call('EXPIREAT', tokens, int(exp + beyond), 'GT')
      redis.call('EXPIREAT', tokens, int(exp + beyond), 'NX')
    end
    table.insert(answers, iat)
  end
  arg = arg + 12 + tonumber(actors)
end
return answers
