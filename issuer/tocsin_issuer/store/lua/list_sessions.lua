-- A page of a subject's sessions, newest first, and what is dead leaves the index.
-- KEYS: index, epoch of all, epoch of the subject.
-- ARGV: most sessions on the page, most places of the index to look at, where to go on: the score
--   and the member that were last on the page before ('+inf' and '' for the first page), and the
--   prefix of a client's epoch.
-- Returns {score, member, …}: where the next page goes on ('' and '' for nowhere), then for each
--   session its key, created, seen, device, address.
expect('zset', KEYS[1])
expect('string', KEYS[2], KEYS[3])
local of_all, of_subject = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[3])
local wanted, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local seen_before = 0
if ARGV[4] ~= '' then seen_before = redis.call('ZCOUNT', KEYS[1], ARGV[3], ARGV[3]) end
local places = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[3], '-inf', 'WITHSCORES',
  'LIMIT', 0, int(left + 1 + seen_before))
local page, found = {'', ''}, 0
for i = 1, #places, 2 do
  local session, score = places[i], places[i + 1]
  if score ~= ARGV[3] or session < ARGV[4] then
    if found == wanted or left == 0 then
      page[1], page[2] = ARGV[3], ARGV[4]
      return page
    end
    left = left - 1
    local fields = redis.call('HMGET', session, 'created', 'seen', 'device', 'address',
      'client_id', 'epoch_of_all', 'epoch_of_subject', 'epoch_of_client')
    local of_client = redis.call('GET', ARGV[5] .. (fields[5] or ''))
    if not fields[1] or outdated({of_all, of_subject, of_client}, {unpack(fields, 6)}) then
      redis.call('ZREM', KEYS[1], session)
    else
      found = found + 1
      for _, value in ipairs({session, fields[1], fields[2], fields[3] or '', fields[4] or ''}) do
        table.insert(page, value)
      end
    end
    ARGV[3], ARGV[4] = score, session
  end
end
return page
