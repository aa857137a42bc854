-- Ends every family where this server may have lost refreshes: one that was promoted, or one that
-- counts fewer of them than the caller has seen.
-- KEYS: refreshes, the primary that they were counted on, epoch of all. ARGV: the most refreshes that
--   the caller has seen, the epoch that is new if they end.
-- Returns {this server's life, how many refreshes there have been, why families end: 'lost',
--   'promoted' or ''}.
--
-- A server takes another replication id at each start, and a replica that is promoted keeps the one
-- before it as its second; started again on its own file it has no second one (with an RDB file alone
-- it would, and such a server has lost what came after).
expect('string', KEYS[1], KEYS[2], KEYS[3])
local info, seen = redis.call('INFO', 'replication'), tonumber(ARGV[1])
local id, second = info:match('master_replid:(%x+)'), info:match('master_replid2:(%x+)')
local refreshes, known = tonumber(redis.call('GET', KEYS[1]) or 0), redis.call('GET', KEYS[2])
local why = ''
if known ~= id and second:find('[^0]') then why = 'promoted' end
if refreshes < seen then why = 'lost' end
if why ~= '' then redis.call('SET', KEYS[3], ARGV[2]) end
if refreshes < seen then
  refreshes = seen
  redis.call('SET', KEYS[1], int(seen))
end
if known ~= id then redis.call('SET', KEYS[2], id) end
return {id, refreshes, why}
