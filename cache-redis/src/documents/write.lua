-- Replaces or deletes a document that another library keeps too, if it is still the one that was read, and notes beside it what was
-- done.
--
-- KEYS[1] the document; KEYS[2] what stands beside it; KEYS[3] the lease whose fence the write is under, a hash.
-- ARGV[1] the type of the document's key, 'hash' or 'string'   ARGV[2] digest of the document that was read, '' for none
-- ARGV[3] revision of what stood beside it, '' for none        ARGV[4] the revision that it gets
-- ARGV[5] 'put', 'delete', or 'keep' to write only beside it   ARGV[6] the document
-- ARGV[7] how long it stays, in ms                             ARGV[8] when it goes, in ticks of .NET
-- ARGV[9] the stamp that it gets                               ARGV[10] the journal, '' for none
-- ARGV[11] how long what stands beside it stays, in ms         ARGV[12] the fence, '' for none
--
-- Answers {'ok', digest}, the second '' where no document is. Or {'changed'}: somebody else has written; {'fenced'}: the holder of a
-- later lease has. Nothing was done then.
local document, beside, lease, kind, verb = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[5]
-- In milliseconds: how long the fences of a lease are remembered.
local TICKS_PER_MS, FENCES_FOR = 10000, 86400000

local found = redis.call('TYPE', document).ok
if found ~= 'none' and found ~= kind then return {'changed'} end
local value, is_other_set, sliding = false, false, -1
if found == 'string' then
    value = redis.call('GET', document)
elseif found == 'hash' then
    local fields = redis.call('HMGET', document, 'data', 'sldexp', 'dv', 'swv')
    is_other_set = not fields[1] and fields[3]
    value = fields[1] or fields[3]
    sliding = tonumber((is_other_set and fields[4] or fields[2]) or '-1') or -1
end
local digest = value and redis.sha1hex(value) or ''
local revision = redis.call('HGET', beside, 'r') or ''
-- Sent again, since the answer was lost.
-- Others may have written since: the stamp is that of ours.
if revision == ARGV[4] then return {'ok', redis.call('HGET', beside, 'd') or ''} end
if lease and tonumber(ARGV[12]) < tonumber(redis.call('HGET', lease, 'f') or '0') then return {'fenced'} end
if digest ~= ARGV[2] or revision ~= ARGV[3] then return {'changed'} end

if verb == 'put' then
    value, digest = ARGV[6], redis.sha1hex(ARGV[6])
    local left = tonumber(ARGV[7])
    if kind == 'string' then
        redis.call('SET', document, value, 'PX', string.format('%.0f', left))
    else
        if is_other_set then
            redis.call('HSET', document, 'dv', value, 'aev', ARGV[8])
        else
            redis.call('HSET', document, 'data', value, 'absexp', ARGV[8], 'sldexp', string.format('%.0f', sliding))
        end
        if sliding > 0 then left = math.max(1, math.min(left, sliding / TICKS_PER_MS)) end
        redis.call('PEXPIRE', document, string.format('%.0f', left))
    end
    redis.call('HSET', beside, 'n', ARGV[9])
elseif verb == 'delete' then
    digest = ''
    redis.call('UNLINK', document)
    redis.call('HDEL', beside, 'n')
end
redis.call('HSET', beside, 'r', ARGV[4], 'd', digest)
if ARGV[10] == '' then redis.call('HDEL', beside, 'j') else redis.call('HSET', beside, 'j', ARGV[10]) end
redis.call('PEXPIRE', beside, ARGV[11])
if lease then
    redis.call('HSET', lease, 'f', ARGV[12])
    redis.call('PEXPIRE', lease, FENCES_FOR)
end
return {'ok', digest}
