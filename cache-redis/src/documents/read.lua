-- A document that another library keeps too, and what stands beside it, at one moment.
--
-- KEYS[1] the document; KEYS[2] what stands beside it.
-- ARGV[1] the type of the document's key, 'hash' or 'string'
-- ARGV[2] a document of more bytes is answered by its digest alone, '' for none
--
-- Answers {'type'} where a key of another type stands in its place, else {'ok', whether there is a document, document, its digest,
-- whether it was left out, digest of the one that was written last by this program, stamp, revision, journal}. What is not there
-- is ''.
local document, beside, kind, most = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
-- A tick of .NET is 100 ns; the years begin with 1.
local TICKS_PER_MS, YEAR_1970 = 10000, 62135596800000

local found = redis.call('TYPE', document).ok
if found ~= 'none' and found ~= kind then return {'type'} end
local value, absolute, sliding = false, false, false
if found == 'string' then
    value = redis.call('GET', document)
elseif found == 'hash' then
    local fields = redis.call('HMGET', document, 'data', 'absexp', 'sldexp', 'dv', 'aev', 'swv')
    if fields[1] then
        value, absolute, sliding = fields[1], fields[2], fields[3]
    else
        value, absolute, sliding = fields[4], fields[5], fields[6]
    end
end
-- Reading keeps it from expiring, as it does where .NET reads (dotnet/aspnetcore, src/Caching/StackExchangeRedis/src/RedisCache.cs).
sliding, absolute = tonumber(sliding or '-1') or -1, tonumber(absolute or '-1') or -1
if value and sliding > 0 and most == nil then
    local left = sliding / TICKS_PER_MS
    if absolute > 0 then
        local time = redis.call('TIME')
        left = math.min(left, absolute / TICKS_PER_MS - YEAR_1970 - time[1] * 1000 - math.floor(time[2] / 1000))
    end
    if left >= 1 then redis.call('PEXPIRE', document, string.format('%.0f', left)) end
end
local kept = redis.call('HMGET', beside, 'd', 'n', 'r', 'j')
local digest = value and redis.sha1hex(value) or ''
local is_left_out = value and most and #value > most
return {'ok', value and '1' or '', not is_left_out and value or '', digest, is_left_out and '1' or '', kept[1] or '', kept[2] or '',
    kept[3] or '', kept[4] or ''}
