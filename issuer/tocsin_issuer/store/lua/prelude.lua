-- What all scripts share. Times are whole seconds of the server's clock where nothing else is said.

local function now()
  return tonumber(redis.call('TIME')[1])
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- An integer as JSON and SET write it (tostring would round it to 14 digits).
local function int(number)
  return string.format('%.0f', number)
end

-- Fails before anything is written. The name of the key may hold a person's id: it is not told.
local function expect(kind, ...)
  for _, key in ipairs({...}) do
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= kind then
      error('TOCSIN a key holds a ' .. found .. ' in place of a ' .. kind)
    end
  end
end

local function emit(outbox, text)
  return redis.call('XADD', outbox, '*', 'events', text)
end

-- A session goes, and leaves the index of its subject's sessions. The index serves to look at them,
-- so whatever stands in its place must not keep a session alive: hence pcall.
local function forget_session(session)
  local index = redis.call('HGET', session, 'index')
  if index then redis.pcall('ZREM', index, session) end
  redis.call('DEL', session)
end

-- Ends a session: its live tokens go into the projection, then session and family are gone.
-- The caller has written to the outbox before.
local function end_session(session, tokens, denied, leeway)
  local live = redis.call('ZRANGEBYSCORE', tokens, now() - leeway, '+inf', 'WITHSCORES')
  for i = 1, #live, 2 do
    redis.call('SET', denied .. live[i], '1', 'EXAT', int(tonumber(live[i + 1]) + leeway))
  end
  redis.call('DEL', tokens)
  forget_session(session)
end

-- Whether a session began before everything, or all of its subject's or its client's, was ended: by
-- the three epochs that stand now, and those that it was opened in. An epoch that Redis has
-- forgotten is older than any session may become.
local function outdated(standing, opened_in)
  for i = 1, 3 do
    if standing[i] and standing[i] ~= opened_in[i] then return true end
  end
  return false
end

-- Rejects every token of a scope that was issued so far, and none that is issued from now on: the
-- event, from its text up to the number, and the cutoff itself. Returns the entry id and the cutoff;
-- nothing where it would lie further ahead than allowed, and then nothing is written.
local function cut_off(outbox, last_iat, key, opening, ahead, outlives)
  local time = now()
  local cutoff = math.max(time, tonumber(redis.call('GET', last_iat) or 0)) + 1
  if cutoff - time > ahead then return nil end
  local ends = cutoff + outlives
  local entry = emit(outbox, opening .. int(cutoff) .. ',"until":' .. int(ends) .. '}}]')
  if cutoff > tonumber(redis.call('GET', key) or 0) then
    redis.call('SET', key, int(cutoff), 'EXAT', int(ends))
  end
  return entry, int(cutoff)
end
