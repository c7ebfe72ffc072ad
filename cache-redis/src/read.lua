-- Reads at one moment. KEYS[1] the partition.
-- ARGV[1] = 'all': ARGV[2] how many entries the partition may have; answers {stamp, 'e'tag, value, ..., ''}, or {stamp} alone
-- for a larger one.
-- ARGV[1] = 'terms': ARGV[2..] terms; answers {stamp, 'e'tag, value, ...}, each once.
-- A partition that is not there answers {}; a hash that is none of a partition, CORRUPT.
local hash = KEYS[1]
local head = redis.call('HMGET', hash, 'g', 'v', 'n')
if not head[1] then return {} end
if not tonumber(head[3] or '') or #head[1] ~= 16 then
    return redis.error_reply('CORRUPT head of a partition')
end
local answer = {head[1] .. struct.pack('>I8', tonumber(head[2] or '') or 0)}
if ARGV[1] == 'all' then
    if tonumber(head[3]) > tonumber(ARGV[2]) then return answer end
    local all = redis.call('HGETALL', hash)
    for at = 1, #all, 2 do
        if #all[at] == 17 and string.byte(all[at]) == 101 then
            answer[#answer + 1], answer[#answer + 2] = all[at], all[at + 1]
        end
    end
    answer[#answer + 1] = ''
    return answer
end
local seen = {}
for at = 2, #ARGV do
    local tags = redis.call('HGET', hash, 't' .. ARGV[at]) or ''
    for first = 1, #tags, 16 do
        local field = 'e' .. string.sub(tags, first, first + 15)
        if not seen[field] then
            seen[field] = true
            local stored = redis.call('HGET', hash, field)
            if stored then answer[#answer + 1], answer[#answer + 2] = field, stored end
        end
    end
end
return answer
