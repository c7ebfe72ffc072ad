-- A page of the keys of one type on the server that KEYS[1] belongs to: the only way to say to a cluster which of its servers is
-- meant.
-- ARGV[1] cursor, ARGV[2] pattern, ARGV[3] type
-- Answers the next cursor, which is '0' at the end, and the keys.
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000, 'TYPE', ARGV[3])
table.insert(page[2], 1, page[1])
return page[2]
