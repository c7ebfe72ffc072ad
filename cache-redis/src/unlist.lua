-- Takes partitions that are not there any more from the list. KEYS as of the script that lists; ARGV the partitions' tags.
-- One that was listed a short while ago may be about to be made.
local time = redis.call('TIME')
local before = time[1] * 1000 + math.floor(time[2] / 1000) - 600000
for _, tag in ipairs(ARGV) do
    local listed = redis.call('ZSCORE', KEYS[2], tag)
    if not listed or tonumber(listed) < before then
        redis.call('ZREM', KEYS[1], tag)
        redis.call('ZREM', KEYS[2], tag)
    end
end
return 0
