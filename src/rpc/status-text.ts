/** What a status says, without the empty end that grpc-js gives its own words about a connection that was never made. */
export const statusText = (details: string): string => details.replace(/\. Resolution note: *$/, '');
